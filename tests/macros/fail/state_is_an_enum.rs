//! The state is a struct.

use braft::raft_service;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
enum Light {
    #[default]
    Red,
    Green,
}

#[raft_service]
impl Light {
    fn switch(&mut self) {
        *self = Light::Green;
    }
}

async fn call(light: LightClient) -> Result<(), braft::Error> {
    light.switch().await
}

fn main() {}
