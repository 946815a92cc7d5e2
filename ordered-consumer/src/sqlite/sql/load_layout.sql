select identity, generation, admitted, waiting from layout where consumer_id = ? and name = ?
