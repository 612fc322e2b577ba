//! How far a caller has seen the state: the header `braft-position`, given in each answer and given back
//! with a session read.
//!
//! The index of a log entry, and a sum of it and of the cluster's id: the position of another cluster, or
//! one that was made up, would let a read wait for what never comes.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;

pub(super) const POSITION: HeaderName = HeaderName::from_static("braft-position");

/// The index that a request names; 0 if it names none.
pub(super) fn read(headers: &HeaderMap, cluster_id: u128) -> Result<u64, Problem> {
    let mut given = headers.get_all(POSITION).iter();
    let Some(value) = given.next() else {
        return Ok(0);
    };
    let index = value.to_str().ok().and_then(|text| index(text, cluster_id));
    index.filter(|_| given.next().is_none()).ok_or_else(|| {
        Problem::bad_request(format!(
            "{POSITION}: {value:?} is no position in this cluster: give back, once, the one of the \
             latest answer"
        ))
    })
}

/// "11-5c0e1b2a"
fn index(text: &str, cluster_id: u128) -> Option<u64> {
    let index = text.split_once('-')?.0.parse().ok()?;
    (text == self::text(index, cluster_id)).then_some(index)
}

fn text(index: u64, cluster_id: u128) -> String {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&cluster_id.to_le_bytes());
    sum.update(&index.to_le_bytes());
    format!("{index}-{:08x}", sum.finalize())
}

/// What an answer says.
pub(super) fn write(index: u64, cluster_id: u128) -> Option<HeaderValue> {
    HeaderValue::try_from(text(index, cluster_id)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[&str]) -> Option<u64> {
        let value = |text: &&str| HeaderValue::from_str(text).expect("visible");
        let headers = texts.iter().map(|text| (POSITION, value(text)));
        read(&headers.collect(), 5).ok()
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        assert_eq!(given(&[]), Some(0));
        for index in [0, 17, u64::MAX] {
            assert_eq!(given(&[&text(index, 5)]), Some(index));
        }
    }

    #[test]
    fn what_is_no_position_of_this_cluster_is_refused() {
        let ours = text(17, 5);
        let longer = ours.replace("17", "017");
        for wrong in [
            &[&*text(17, 6)][..],
            &[&*text(18, 5).replace("18", "17")],
            &[&*longer],
            &["17"],
            &["17-"],
            &["-1"],
            &[""],
            &["18446744073709551616-00000000"],
            &[&*ours, &*ours],
        ] {
            assert_eq!(given(wrong), None, "{wrong:?}");
        }
    }
}
