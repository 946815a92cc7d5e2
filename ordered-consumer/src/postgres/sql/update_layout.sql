update layout set identity = $3, generation = $4, admitted = $5, waiting = $6 where consumer_id = $1 and name = $2
