//! Every accepted form, called through a client.

mod counter;
