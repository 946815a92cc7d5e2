and g.parked is not null
