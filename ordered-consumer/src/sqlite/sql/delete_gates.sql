delete from gate where gate_id in (values {rows})
