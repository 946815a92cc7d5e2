insert into layout (consumer_id, name, identity, generation, admitted, waiting) values (?, ?, ?, ?, ?, ?)
on conflict (consumer_id, name) do update
set identity = excluded.identity, generation = excluded.generation, admitted = excluded.admitted, waiting = excluded.waiting
