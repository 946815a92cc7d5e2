select
    case when pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' then 'yes' else 'no' end as read_only,
    coalesce(current_setting('ordered_consumer.direct', true), 'no') as direct,
    case when current_setting('fsync') = 'on' then 'yes' else 'no' end as durable
