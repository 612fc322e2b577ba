#[raft_service(edition = 2)]
#[derive(Default, Serialize, Deserialize)]
pub struct Refused {
    #[serde(skip)]
    value: u64,
}

#[raft_service]
impl Refused {
    pub async fn add<T: Into<u64>>(&mut self, (by, times): (T, u64)) -> u64 {
        self.value += by.into() * times;
        self.value
    }

    /// Nothing is wrong with this one.
    pub fn get(&self) -> u64 {
        self.value
    }
}
