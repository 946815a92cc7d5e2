insert into layout (consumer_id, name, identity, generation, admitted, waiting) values ($1, $2, $3, $4, $5, $6)
on conflict (consumer_id, name) do nothing
