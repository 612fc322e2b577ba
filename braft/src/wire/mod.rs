//! wire
#[allow(missing_docs, clippy::all, unreachable_pub, dead_code)]
pub(crate) mod v1 { include!("generated/braft.v1.rs"); }
pub(crate) mod convert {
    pub(crate) fn cluster_id_to(id: u128) -> bytes::Bytes { bytes::Bytes::copy_from_slice(&id.to_be_bytes()) }
    pub(crate) fn cluster_id_from(b: &[u8]) -> Result<u128, std::array::TryFromSliceError> { Ok(u128::from_be_bytes(b.try_into()?)) }
}
