select min(due_at) as due_at from gate indexed by gate_due where consumer_id = ? and due_at is not null
