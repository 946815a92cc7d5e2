insert into consumer (name) values ($1) on conflict (name) do nothing returning consumer_id
