order by s.name, g.entity
limit ?3
