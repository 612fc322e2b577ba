//! How Kubernetes is spelled in `BRAFT_DISCOVERY`, with the variables beside it.

use super::selector::{self, InvalidSelector, is_framed, split};
use super::{Kubernetes, Target};
use crate::discovery::spec::Variables;

/// The words that may stand before `=`; anything else goes on with a label selector.
const WORDS: [&str; 4] = ["service", "label", "namespace", "portname"];

/// Longest name of a service, a namespace or a port (RFC 1123, a label).
const MAX_NAME: usize = 63;

/// Why a text does not describe discovery through Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKubernetes {
    /// Neither a service nor labels: every pod of the namespace would be taken for a node.
    #[error(
        "Kubernetes discovery does not say which pods are nodes: add a headless Service, such as \
         k8s:service=kv, or labels, such as k8s:label=app=kv or K8S_LABELS=app=kv"
    )]
    NothingSelected,
    /// A service and labels.
    #[error(
        "Kubernetes discovery has a service ({service:?}) and labels ({labels:?}), and only one \
         can be watched: remove the labels (label=, K8S_LABELS) or the service"
    )]
    Both {
        /// The service.
        service: String,
        /// The labels.
        labels: String,
    },
    /// An item that is none.
    #[error(
        "{0:?} is not an item of Kubernetes discovery: write service=…, label=…, namespace=… or \
         portname=…"
    )]
    Item(String),
    /// The same word twice.
    #[error("{0} is given twice: keep one")]
    Twice(&'static str),
    /// A name that Kubernetes does not have.
    #[error(
        "{word} {name:?} cannot be a name in Kubernetes: use lower-case letters, digits and \
         hyphens, at most 63"
    )]
    Name {
        /// What is named.
        word: &'static str,
        /// The name as it was written.
        name: String,
    },
    /// The labels are no selector.
    #[error(transparent)]
    Selector(#[from] InvalidSelector),
}

impl Kubernetes {
    /// Reads what follows `k8s:`; empty if nothing does.
    pub(in crate::discovery) fn parse(
        items: &str,
        variables: &Variables<'_>,
    ) -> Result<Self, InvalidKubernetes> {
        let [service, label, namespace, port_name] = read(items)?;
        let or = |given: Option<String>, variable: Option<&str>| {
            given.or_else(|| variable.map(|text| text.trim().to_owned()))
        };
        let labels = or(label, variables.k8s_labels);
        let target = match (service, labels) {
            (Some(service), Some(labels)) => {
                return Err(InvalidKubernetes::Both { service, labels });
            }
            (Some(service), None) => Target::Service(checked_name("service", service)?),
            (None, Some(labels)) if !labels.is_empty() => {
                selector::check(&labels)?;
                Target::Pods(labels)
            }
            (None, _) => return Err(InvalidKubernetes::NothingSelected),
        };
        let mut source = Self::watching(target);
        if let Some(name) = or(namespace, variables.k8s_namespace) {
            source = source.namespace(name)?;
        }
        if let Some(name) = or(port_name, variables.k8s_portname) {
            source = source.port_name(name)?;
        }
        Ok(source)
    }
}

/// The values of [`WORDS`].
fn read(items: &str) -> Result<[Option<String>; 4], InvalidKubernetes> {
    let mut values: [Option<String>; 4] = Default::default();
    if items.trim().is_empty() {
        return Ok(values);
    }
    let label = 1;
    let mut last = None;
    for item in split(items).map(str::trim) {
        let word = item.split_once('=').and_then(|(word, value)| {
            let word = WORDS.iter().position(|known| *known == word.trim())?;
            Some((word, value.trim()))
        });
        let (word, value) = match word {
            Some(found) => found,
            None if last == Some(label) => (label, item),
            None => return Err(InvalidKubernetes::Item(item.to_owned())),
        };
        last = Some(word);
        match &mut values[word] {
            Some(labels) if word == label => {
                labels.push(',');
                labels.push_str(value);
            }
            Some(_) => return Err(InvalidKubernetes::Twice(WORDS[word])),
            none => *none = Some(value.to_owned()),
        }
    }
    Ok(values)
}

/// A name as a service, a namespace or a port can have it.
pub(super) fn checked_name(word: &'static str, name: String) -> Result<String, InvalidKubernetes> {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.len() <= MAX_NAME && is_framed(&name, outer, b"-") {
        Ok(name)
    } else {
        Err(InvalidKubernetes::Name { word, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(items: &str) -> Result<Kubernetes, InvalidKubernetes> {
        Kubernetes::parse(items, &Variables::default())
    }

    #[test]
    fn each_word_is_read() {
        assert_eq!(
            parse("namespace=prod, service=kv ,portname=peer"),
            Kubernetes::service("kv")
                .and_then(|source| source.namespace("prod"))
                .and_then(|source| source.port_name("peer"))
        );
    }

    #[test]
    fn the_port_is_called_raft_and_the_namespace_is_the_own_one_by_default() {
        let source = parse("service=kv").expect("a service");
        assert_eq!(source.port_name, "raft");
        assert_eq!(source.namespace, None);
    }

    #[test]
    fn labels_keep_their_case_and_may_be_several() {
        let written = Target::Pods("App=KV,Tier in (a,B),!old".to_owned());
        for items in [
            "label=App=KV,label=Tier in (a,B),label=!old",
            "label=App=KV,Tier in (a,B),!old",
            "portname=raft,label=App=KV,label=Tier in (a,B),!old,namespace=x",
        ] {
            assert_eq!(parse(items).expect(items).target, written);
        }
    }

    #[test]
    fn a_label_with_the_name_of_a_word_is_written_as_a_label() {
        let source = parse("label=app=kv,label=service=web").expect("two labels");
        assert_eq!(source.target, Target::Pods("app=kv,service=web".to_owned()));
    }

    #[test]
    fn nothing_selected_never_means_everything() {
        for items in ["", " ", "namespace=a", "portname=raft", "label="] {
            assert_eq!(
                parse(items),
                Err(InvalidKubernetes::NothingSelected),
                "{items}"
            );
        }
        for items in ["service=", "label=!old", "label=a=b,"] {
            assert!(parse(items).is_err(), "{items} was accepted");
        }
        let blank = Variables {
            k8s_labels: Some(" "),
            ..Variables::default()
        };
        let refused = Kubernetes::parse("", &blank);
        assert_eq!(refused, Err(InvalidKubernetes::NothingSelected));
    }

    #[test]
    fn variables_stand_in_for_what_the_text_does_not_say() {
        let variables = Variables {
            k8s_namespace: Some("env"),
            k8s_labels: Some("app=Env,!old"),
            k8s_portname: Some("env-port"),
        };
        let source = Kubernetes::parse("", &variables).expect("labels");
        assert_eq!(source.target, Target::Pods("app=Env,!old".to_owned()));
        assert_eq!(source.namespace.as_deref(), Some("env"));
        assert_eq!(source.port_name, "env-port");
        let text = "label=app=text,portname=text";
        let source = Kubernetes::parse(text, &variables).expect("labels");
        assert_eq!(source.target, Target::Pods("app=text".to_owned()));
        assert_eq!(source.namespace.as_deref(), Some("env"));
        assert_eq!(source.port_name, "text");
    }

    #[test]
    fn slips_are_refused_with_their_remedy() {
        for (items, part) in [
            ("service=kv,label=app=kv", "remove the labels"),
            ("kv", "write service="),
            ("service=kv,extra", "write service="),
            ("services=kv", "write service="),
            ("service=kv,", "write service="),
            ("service=a,service=b", "given twice"),
            ("service=KV", "lower-case"),
            ("service=kv,namespace=", "lower-case"),
            ("service=kv,portname=a.b", "lower-case"),
            ("label=a b", "app in (kv,db)"),
        ] {
            let error = parse(items).expect_err(items).to_string();
            assert!(error.contains(part), "{items}: {error}");
        }
    }
}
