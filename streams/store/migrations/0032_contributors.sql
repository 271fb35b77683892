-- What an anomaly is made of has the name that everybody gives it.

alter table anomalies rename column blames to contributors;
