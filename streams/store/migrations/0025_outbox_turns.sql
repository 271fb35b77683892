-- Who sends results takes as many of each topic and key as of the next (see streams/store/outbox_order.py).

create index outbox_by_key on outbox (topic, key, number);
