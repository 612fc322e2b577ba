//! The way to the API server, and its errors in words.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Client, Config};

/// The longest a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWay {
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] KubeconfigError),
    #[error(
        "there is neither a kubeconfig (set KUBECONFIG) nor a pod's service account \
         (automountServiceAccountToken must not be false)"
    )]
    Nowhere(#[from] InferConfigError),
    #[error("the settings for the API server cannot be used")]
    Client(#[from] kube::Error),
}

/// Reads where the API server is, and as whom to speak; contacts nobody yet.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, NoWay> {
    let mut config = match kubeconfig {
        None => Config::infer().await?,
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
    };
    // Failures are paced and reported here; kube's own retries would hide them for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A program that builds rustls with several providers has to choose one for the process, or
    // the first handshake panics. If it has chosen, this does nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(Client::try_from(config)?)
}

/// What the API server refused, with the remedy where there is one.
pub(super) fn refusal(status: &Status) -> String {
    let remedy = match status.code {
        401 => ": its token or certificate is not valid, see the kubeconfig or service account",
        403 => ": its role needs the verbs list and watch, see deploy/kubernetes",
        _ => "",
    };
    let text = format!("the API server answers {}", status.code);
    if status.message.is_empty() {
        format!("{text}{remedy}")
    } else {
        format!("{text} ({}){remedy}", status.message)
    }
}

/// An error with its causes, as one line.
pub(super) fn in_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
