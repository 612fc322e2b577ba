//! Who may call what on the raft port, and what is written down about it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::connections::Origin;
use crate::access::{CALLER, Grant, HEADER, News, Role, Tokens, bearer};
use crate::tls::Standing;

/// The target of what is written down about operators' calls, and about callers that were refused.
const AUDIT: &str = "braft::audit";
/// What is written down of a path that nobody serves, and of what callers call themselves.
const MAX_PATH_BYTES: usize = 100;
const MAX_CALLER_BYTES: usize = 100;

/// What is asked of callers.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Without them, whoever may connect may call services.
    pub(crate) tokens: Option<Tokens>,
    /// Whether the other side of a connection has to show a certificate or the join token.
    pub(crate) greets: bool,
    /// Whether members show the join token.
    pub(crate) joins: bool,
    pub(crate) news: News,
}

/// That whoever calls has shown more than where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vouched;

/// The services on the port, by who may call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// What members ask of each other.
    Members,
    Operators,
    Calls,
    /// Whether the node is there: anybody.
    Health,
    /// What the node's services look like.
    Reflection,
    /// The program's own services.
    Own,
}

impl Asked {
    fn of(path: &str) -> Self {
        const PLACES: [(&str, Asked); 6] = [
            ("/braft.v1.Raft/", Asked::Members),
            ("/braft.v1.Cluster/", Asked::Members),
            ("/braft.admin.v1.", Asked::Operators),
            ("/braft.v1.Calls/", Asked::Calls),
            ("/grpc.health.v1.", Asked::Health),
            ("/grpc.reflection.", Asked::Reflection),
        ];
        let found = PLACES.iter().find(|(place, _)| path.starts_with(place));
        found.map_or(Asked::Own, |(_, asked)| *asked)
    }

    /// What a token has to be good for; calls are looked at one by one.
    fn role(self) -> Role {
        match self {
            Asked::Calls | Asked::Reflection | Asked::Health => Role::Read,
            Asked::Own => Role::Write,
            Asked::Members | Asked::Operators => Role::Admin,
        }
    }
}

/// Refuses what a caller may not do; and the calls of connections beyond the limit, but for those of
/// members.
pub(super) async fn admit(
    State(admission): State<Arc<Admission>>,
    mut request: Request,
    next: Next,
) -> Response {
    // None in memory: a simulation has no strangers.
    let Some(origin) = request.extensions().get::<Origin>().cloned() else {
        return next.run(request).await;
    };
    let asked = Asked::of(request.uri().path());
    match admission.judge(asked, &request, &origin) {
        Ok(Leave { grant, is_vouched }) => {
            if is_vouched {
                request.extensions_mut().insert(Vouched);
            }
            if let Some(grant) = grant {
                request.extensions_mut().insert(grant);
            }
        }
        Err(status) => return status.into_http(),
    }
    if let Some(limit) = origin.limit
        && !matches!(asked, Asked::Members | Asked::Health)
    {
        let text = format!(
            "this node has {limit} connections, its limit; connect to another node, let clients \
             share connections, or raise max_connections"
        );
        return Status::resource_exhausted(text).into_http();
    }
    // What tonic itself knows where a caller comes from by.
    request.extensions_mut().insert(origin.tcp);
    next.run(request).await
}

/// What a caller may go on with.
#[derive(Default)]
struct Leave {
    grant: Option<Arc<Grant>>,
    is_vouched: bool,
}

impl Admission {
    fn judge(&self, asked: Asked, request: &Request, origin: &Origin) -> Result<Leave, Status> {
        let is_member = origin.standing == Standing::Member;
        let path = request.uri().path();
        let member = Leave {
            grant: None,
            is_vouched: is_member && self.joins,
        };
        match asked {
            Asked::Health => Ok(Leave::default()),
            Asked::Members if is_member => Ok(member),
            Asked::Members => {
                let why = self.not_a_member(origin.standing);
                let from = origin.from().map(|from| from.ip());
                // Nodes knock many times a second.
                if self.news.is_new(&format!("{from:?} {}", why.message())) {
                    tracing::warn!(path = shown(path), ?from, "refused: {}", why.message());
                }
                Err(why)
            }
            Asked::Operators => {
                let leave = self.operator(request.headers(), origin, member);
                write_down(request, origin, &leave);
                leave.map(|(_, leave)| leave)
            }
            // Whoever reaches the port of a node without either is no member, and is none here.
            _ if self.tokens.is_none() || (is_member && self.greets) => Ok(member),
            _ => {
                let grant = self.token(request.headers(), asked.role());
                let grant = grant.inspect_err(|why| {
                    let from = origin.from().map(|from| from.ip());
                    if self.news.is_new(&format!("{from:?} {}", why.message())) {
                        let path = shown(path);
                        tracing::warn!(target: AUDIT, path, ?from, "refused: {}", why.message());
                    }
                })?;
                Ok(Leave {
                    grant: Some(grant),
                    is_vouched: false,
                })
            }
        }
    }

    /// Who calls what operators may: a name for the log, and what it may go on with.
    fn operator(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        member: Leave,
    ) -> Result<(String, Leave), Status> {
        if self.tokens.is_none() && !self.greets {
            return Ok(("anybody".to_owned(), member));
        }
        // What was shown beside the connection says best who calls.
        if self.tokens.is_some() && headers.contains_key(HEADER) {
            let grant = self.token(headers, Role::Admin)?;
            let leave = Leave {
                grant: None,
                is_vouched: true,
            };
            return Ok((grant.name().to_owned(), leave));
        }
        if origin.standing == Standing::Member && self.greets {
            return Ok(("a member".to_owned(), member));
        }
        let why = self.not_a_member(origin.standing);
        if self.tokens.is_none() {
            return Err(why);
        }
        Err(Status::permission_denied(format!(
            "{}; or show a token with the role admin (BRAFT_TOKEN_FILE)",
            why.message()
        )))
    }

    /// What the token of a request is good for, if it is good for this.
    fn token(&self, headers: &HeaderMap, needed: Role) -> Result<Arc<Grant>, Status> {
        let shown = headers.get(HEADER).and_then(|value| value.to_str().ok());
        let Some(shown) = shown.and_then(bearer) else {
            return Err(Status::unauthenticated(format!(
                "show a token with the role {needed}, as `authorization: Bearer …`"
            )));
        };
        let known = self.tokens.as_ref().and_then(|tokens| tokens.grant(shown));
        let Some(grant) = known else {
            let text = "this node does not know the token that is shown";
            return Err(Status::unauthenticated(text));
        };
        if !grant.may(needed) {
            return Err(Status::permission_denied(grant.refusal("this", needed)));
        }
        Ok(grant)
    }

    /// What a connection lacks that is none of a member.
    fn not_a_member(&self, standing: Standing) -> Status {
        match standing {
            Standing::Unproven => Status::unauthenticated(
                "no join token was shown, and the members have one; set the same BRAFT_JOIN_TOKEN_FILE",
            ),
            _ => Status::permission_denied(
                "this certificate is good for calls alone; show one of the authority of the members \
                 (BRAFT_TLS_CA)",
            ),
        }
    }
}

/// Whoever is let in as a member has proven to be one: its certificate names it, or else it says itself which
/// one it is, as members know each other.
fn write_down(request: &Request, origin: &Origin, leave: &Result<(String, Leave), Status>) {
    let (call, from) = (shown(request.uri().path()), origin.from());
    let certificate = origin.name.as_deref();
    let says = request
        .headers()
        .get(CALLER)
        .and_then(|value| value.to_str().ok());
    let says = says.map(|says| says.get(..MAX_CALLER_BYTES).unwrap_or(says));
    match leave {
        Ok((caller, _)) => {
            let text = "an operator's call";
            tracing::info!(target: AUDIT, call, caller, certificate, says, ?from, "{text}");
        }
        Err(why) => {
            let text = format!("an operator's call was refused: {}", why.message());
            tracing::warn!(target: AUDIT, call, certificate, says, ?from, "{text}");
        }
    }
}

/// As much of a path as is worth a line.
fn shown(path: &str) -> &str {
    path.get(..MAX_PATH_BYTES).unwrap_or(path)
}
