//! Settings from the environment of a process.

use braft::testing::TestResult;
use futures_util::stream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::nodes::Nodes;

/// What a node says when it is asked for its schemas.
async fn reflection(nodes: &Nodes) -> TestResult<Code> {
    let address = format!("http://{}", nodes.addresses()[0]);
    let channel = Endpoint::from_shared(address)?.connect().await?;
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answered = client.server_reflection_info(stream::iter([list])).await;
    Ok(match answered {
        Ok(answers) => match answers.into_inner().message().await? {
            Some(_) => Code::Ok,
            None => Code::Unknown,
        },
        Err(status) => status.code(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_turns_reflection_off() {
    let run = async || -> TestResult {
        let on = Nodes::start(1, &[]).await?;
        assert_eq!(reflection(&on).await?, Code::Ok);
        let off = Nodes::start(1, &[("DISABLE_GRPC_REFLECTION", 1)]).await?;
        assert_eq!(reflection(&off).await?, Code::Unimplemented);
        Ok(())
    };
    run().await.unwrap_or_else(|error| panic!("{error}"));
}
