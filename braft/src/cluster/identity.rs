//! How node and cluster ids are written for people.

use std::fmt;

/// A node id, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DisplayNode(pub(crate) u64);

/// A cluster id, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DisplayCluster(pub(crate) u128);

impl fmt::Display for DisplayNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for DisplayCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_padded_so_that_columns_line_up() {
        assert_eq!(DisplayNode(0xab).to_string(), "00000000000000ab");
        assert_eq!(
            DisplayCluster(1).to_string(),
            "00000000000000000000000000000001"
        );
    }
}
