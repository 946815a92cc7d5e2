update counter set next_version = next_version + $1 returning next_version - $1 as first_version
