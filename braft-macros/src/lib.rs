//! The attribute macros of braft.
