//! What maildirq has to do with systemd: what it tells, and the units that are shipped.

mod told;
