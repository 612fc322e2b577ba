//! gRPC on the raft port beside braft's own: a user's service, reflection, health.

use std::convert::Infallible;
use std::task::{self, Poll};

use braft::testing::{Cluster, TestNode, TestResult, run_test};
use futures_util::stream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

use crate::services::Counter;

/// A service as `tonic-build` would write it, by hand: answers with what it was sent, twice.
#[derive(Clone)]
struct Echo;

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

impl NamedService for Echo {
    const NAME: &'static str = "own.v1.Echo";
}

impl UnaryService<Text> for Echo {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let text = request.into_inner().text;
        let text = format!("{text} {text}");
        Box::pin(async { Ok(Response::new(Text { text })) })
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(echo, request).await)
        })
    }
}

async fn connect<S: braft::Service>(cluster: &Cluster<S>, node: TestNode) -> TestResult<Channel> {
    let address = format!("http://{}", cluster.address(node));
    Ok(Endpoint::from_shared(address)?.connect().await?)
}

async fn echo(channel: Channel, text: &str) -> TestResult<String> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/own.v1.Echo/Echo");
    let text = Text {
        text: text.to_owned(),
    };
    let codec: ProstCodec<Text, Text> = ProstCodec::default();
    let answer = grpc.unary(Request::new(text), path, codec).await?;
    Ok(answer.into_inner().text)
}

/// The same as tools ask it that speak the older form.
async fn listed_for_older_tools(channel: Channel) -> TestResult<Vec<String>> {
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client
        .server_reflection_info(stream::iter([request]))
        .await?;
    let answer = answers.into_inner().message().await?.ok_or("no answer")?;
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        Err(format!("not a list of services: {answer:?}"))?
    };
    Ok(list.service.into_iter().map(|one| one.name).collect())
}

/// Asks for the names of all services.
async fn listed(channel: Channel) -> TestResult<Result<Vec<String>, Status>> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(stream::iter([request])).await;
    let mut answers = match answers {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    let answer = answers.message().await?.ok_or("no answer")?;
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        Err(format!("not a list of services: {answer:?}"))?
    };
    Ok(Ok(list.service.into_iter().map(|one| one.name).collect()))
}

#[test]
fn a_users_own_grpc_service_answers_on_the_raft_port_of_every_node() {
    run_test(1, "own gRPC service", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(3, |config| config.grpc_service(Echo)).await?;
        for place in 0..3 {
            let channel = connect(&cluster, TestNode(place)).await?;
            assert_eq!(echo(channel, "hello").await?, "hello hello");
        }
        // It is there beside braft's own, not in their place.
        assert_eq!(cluster.client().add(1).await??, 1);
        cluster.stop_all().await;
        Ok(())
    });
}

#[braft::test(nodes = 1)]
async fn tools_may_ask_for_the_schemas_and_for_the_health(cluster: Cluster<Counter>) -> TestResult {
    let channel = connect(&cluster, TestNode(0)).await?;
    let services = listed(channel.clone()).await??;
    for name in
        ["v1.Raft", "v1.Calls", "v1.Cluster", "admin.v1.Admin"].map(|name| format!("braft.{name}"))
    {
        assert!(services.contains(&name), "{name} is not in {services:?}");
    }
    let older = listed_for_older_tools(channel.clone()).await?;
    assert!(
        older.iter().any(|name| name == "braft.v1.Calls"),
        "{older:?}"
    );
    let everything = HealthCheckRequest::default();
    let health = HealthClient::new(channel).check(everything).await?;
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    Ok(())
}

#[test]
fn without_reflection_the_schemas_are_not_served() {
    run_test(1, "no reflection", |_: Cluster<Counter>| async {
        let cluster = Cluster::<Counter>::start_with(1, |config| config.reflection(false)).await?;
        let channel = connect(&cluster, TestNode(0)).await?;
        let refused = listed(channel).await?.err().ok_or("it answered")?;
        assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
        assert_eq!(cluster.client().add(1).await??, 1);
        cluster.stop_all().await;
        Ok(())
    });
}

/// A call with a header of so many bytes.
async fn with_header(channel: &Channel, bytes: usize) -> TestResult<Result<(), Status>> {
    let mut request = Request::new(HealthCheckRequest::default());
    let metadata = request.metadata_mut();
    metadata.insert("x-long", "x".repeat(bytes).parse()?);
    let checked = HealthClient::new(channel.clone()).check(request).await;
    Ok(checked.map(drop))
}

#[test]
fn headers_beyond_the_limit_are_refused_and_the_connection_goes_on() {
    /// As docs/security.md has it.
    const LIMIT: usize = 32 << 10;
    run_test(1, "long headers", |cluster: Cluster<Counter>| async move {
        let channel = connect(&cluster, TestNode(0)).await?;
        // What each call bears takes a part of it.
        with_header(&channel, LIMIT - 1024).await??;
        let refused = with_header(&channel, LIMIT).await?;
        let refused = refused.err().ok_or("it was taken")?;
        assert!(refused.message().contains("431"), "{refused}");
        with_header(&channel, 1).await??;
        Ok(())
    });
}
