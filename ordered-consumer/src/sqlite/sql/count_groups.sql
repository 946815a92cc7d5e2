group by 1
order by entities desc, name
limit ?3
