group by 1
order by entities desc, name nulls first
limit $3
