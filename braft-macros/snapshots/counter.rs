#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    /// Adds `by` and returns the new total.
    pub fn add(&mut self, by: u64) -> Result<u64, Overflow> {
        self.value = self.value.checked_add(by).ok_or(Overflow)?;
        Ok(self.value)
    }

    pub fn get(&self) -> u64 {
        self.value
    }
}
