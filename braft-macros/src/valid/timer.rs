//! The method that runs when a wake is due.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Block, ImplItemFn, ReturnType, Type};

use super::{Kind, Service, signature};
use crate::attr::MethodOptions;
use crate::problems::Problems;

/// The `#[timer]` method.
pub(crate) struct Timer {
    pub(crate) ident: Ident,
    pub(crate) takes_context: bool,
}

impl Service {
    /// Takes the timer in; a service has one only, so that `wake_at` need not say which.
    pub(super) fn add_timer(
        &mut self,
        attribute: &Attribute,
        timer: Timer,
        problems: &mut Problems,
    ) {
        if let Some(first) = &self.timer {
            problems.on(
                attribute,
                format!(
                    "a service has one timer, and `{}` is it: keep what is due in the state, \
                     sorted by time, and let the one method see to all that `now()` has reached",
                    first.ident
                ),
            );
            return;
        }
        self.timer = Some(timer);
    }
}

/// Checks what stands beside `#[timer]`.
pub(super) fn check_attributes(
    timer: &Attribute,
    options: &MethodOptions,
    problems: &mut Problems,
) {
    let others = [&options.local, &options.command, &options.query];
    if others.iter().any(|other| other.is_some()) {
        problems.on(
            timer,
            "a timer is run by the cluster alone: remove `#[timer]`, or the other attribute",
        );
    }
}

/// Reads the method, and its context's type if it takes one.
pub(super) fn read(method: &ImplItemFn, problems: &mut Problems) -> (Option<Type>, Timer) {
    let sig = &method.sig;
    let ident = sig.ident.clone();
    if signature::kind(sig) != Some(Kind::Command) {
        problems.on(
            &sig.ident,
            "a timer changes the state: it takes `&mut self`, and a `&mut Context` if it wants one",
        );
        let takes_context = false;
        return (
            None,
            Timer {
                ident,
                takes_context,
            },
        );
    }
    let context = signature::check(Kind::Command, method, problems);
    if let Some((_, ty)) = signature::arguments(sig, context.is_some()).next() {
        problems.on(
            ty,
            "a timer takes no arguments but the context: nobody calls it; keep in the state what \
             it needs",
        );
    }
    if let ReturnType::Type(_, ty) = &sig.output {
        problems.on(
            ty,
            "a timer answers nobody: it returns nothing; change the state, or emit an event",
        );
    }
    let takes_context = context.is_some();
    (
        context,
        Timer {
            ident,
            takes_context,
        },
    )
}

/// Calls of `wake_at`, which need a timer.
#[derive(Default)]
pub(super) struct Wakes {
    first: Option<Ident>,
    has_timer: bool,
}

impl Wakes {
    pub(super) fn look_at(&mut self, body: &Block) {
        if self.first.is_none() {
            self.first = find(body.to_token_stream());
        }
    }

    pub(super) fn has_timer(&mut self) {
        self.has_timer = true;
    }

    pub(super) fn check(self, problems: &mut Problems) {
        if let (Some(call), false) = (self.first, self.has_timer) {
            problems.on(
                call,
                "nothing would be woken: this `impl` block has no timer; write \
                 `#[timer] fn expire(&mut self, context: &mut Context) { … }`",
            );
        }
    }
}

/// The name in the first `.wake_at(…)`.
fn find(tokens: TokenStream) -> Option<Ident> {
    let mut after_dot = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let found = find(group.stream());
                if found.is_some() {
                    return found;
                }
                after_dot = false;
            }
            TokenTree::Ident(ident) if after_dot && ident == "wake_at" => return Some(ident),
            TokenTree::Punct(punct) => after_dot = punct.as_char() == '.',
            TokenTree::Ident(_) | TokenTree::Literal(_) => after_dot = false,
        }
    }
    None
}
