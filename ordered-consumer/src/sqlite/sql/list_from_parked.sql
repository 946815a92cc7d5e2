from stream s
cross join gate g indexed by gate_parked on g.stream_id = s.stream_id and g.parked is not null
