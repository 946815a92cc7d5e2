select consumer_id from consumer where name = $1
