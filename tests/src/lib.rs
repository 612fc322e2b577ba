//! Tests of braft, one folder per concern.
