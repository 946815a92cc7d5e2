select identity, generation, admitted, waiting from layout where consumer_id = $1 and name = $2
