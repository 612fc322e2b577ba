//! Many commands, snapshots, and a node that comes late.
