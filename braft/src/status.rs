//! temp
#[derive(serde::Serialize, serde::Deserialize, Debug, Clone)]
pub struct Status {
    pub x: u8,
}
