from stream s
cross join gate g indexed by gate_key on g.stream_id = s.stream_id
