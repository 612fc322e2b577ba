//! What the macros ask the compiler about a type, through aliases too.
//!
//! An inherent constant comes before a trait's of the same name. So `Probe::<T>::STATE` is the
//! message for a type that has one here, and the trait's `None` for every other.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8,
    AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};
use std::sync::{Mutex, OnceLock, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asks about `T`.
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// The answer for types with nothing against them.
pub trait Unobjectionable {
    /// Why the type cannot be a part of a state.
    const STATE: Option<&'static str> = None;
    /// Why it cannot be a part of a command's argument or answer.
    const COMMAND: Option<&'static str> = None;
    /// Why it cannot be a part of a query's argument or answer.
    const QUERY: Option<&'static str> = None;
}

impl<T: ?Sized> Unobjectionable for Probe<T> {}

/// Refuses a type, at compile time and where the macro calls it.
///
/// # Panics
/// If there is something against the type.
#[track_caller]
pub const fn accept(refusal: Option<&'static str>) {
    if let Some(reason) = refusal {
        panic!("{}", reason);
    }
}

macro_rules! refuse_order {
    ($($name:literal, $remedy:literal, [$($generic:ident),*] $ty:ty;)*) => {$(
        impl<$($generic),*> Probe<$ty> {
            /// Why not.
            pub const STATE: Option<&'static str> = Some(concat!(
                "`", $name, "` iterates in an order that differs on every replica and after every \
                 restart, so replicas would diverge; use ", $remedy, " instead",
            ));
            /// Why not.
            pub const COMMAND: Option<&'static str> = Self::STATE;
        }
    )*};
}

refuse_order! {
    "HashMap", "`BTreeMap`, `braft::collections::Map` or `indexmap::IndexMap`", [K, V, S] HashMap<K, V, S>;
    "HashSet", "`BTreeSet`, `braft::collections::Set` or `indexmap::IndexSet`", [T, S] HashSet<T, S>;
}

macro_rules! refuse_loss {
    ($($name:literal, $remedy:literal, [$($generic:ident)?] $ty:ty;)*) => {$(
        impl$(<$generic>)? Probe<$ty> {
            /// Why not.
            pub const STATE: Option<&'static str> = Some(concat!(
                "`", $name, "` does not survive MessagePack: what is inside `Some` reads back as \
                 `None`; use ", $remedy, " instead",
            ));
            /// Why not.
            pub const COMMAND: Option<&'static str> = Self::STATE;
            /// Why not.
            pub const QUERY: Option<&'static str> = Self::STATE;
        }
    )*};
}

refuse_loss! {
    "Option<Option<_>>", "an enum of your own", [T] Option<Option<T>>;
    "Option<()>", "`bool`", [] Option<()>;
}

macro_rules! refuse_sharing {
    ($($name:literal, [$($generic:ident)?] $ty:ty;)*) => {$(
        impl$(<$generic>)? Probe<$ty> {
            /// Why not.
            pub const STATE: Option<&'static str> = Some(concat!(
                "`", $name, "` lets a query change the state on one replica only, so replicas \
                 would diverge; use a plain field (or `BTreeMap`, `IndexMap` for many values) and \
                 change it in commands, which have `&mut self`",
            ));
        }
    )*};
}

refuse_sharing! {
    "Mutex", [T] Mutex<T>;
    "RwLock", [T] RwLock<T>;
    "OnceLock", [T] OnceLock<T>;
    "Cell", [T] Cell<T>;
    "RefCell", [T] RefCell<T>;
    "OnceCell", [T] OnceCell<T>;
    "AtomicBool", [] AtomicBool;
    "AtomicI8", [] AtomicI8;
    "AtomicI16", [] AtomicI16;
    "AtomicI32", [] AtomicI32;
    "AtomicI64", [] AtomicI64;
    "AtomicIsize", [] AtomicIsize;
    "AtomicPtr", [T] AtomicPtr<T>;
    "AtomicU8", [] AtomicU8;
    "AtomicU16", [] AtomicU16;
    "AtomicU32", [] AtomicU32;
    "AtomicU64", [] AtomicU64;
    "AtomicUsize", [] AtomicUsize;
}

/// The answer for a type that has what was asked for.
#[derive(Debug)]
pub struct Has;

/// The answer for a type that lacks it.
#[derive(Debug)]
pub struct Lacks;

impl<T: Default> Probe<T> {
    /// Whether it can begin empty.
    pub const DEFAULT: Has = Has;
}

impl<T: Serialize> Probe<T> {
    /// Whether it can be written.
    pub const SERIALIZE: Has = Has;
}

impl<T: DeserializeOwned> Probe<T> {
    /// Whether it can be read.
    pub const DESERIALIZE: Has = Has;
}

impl<T: Send + Sync + 'static> Probe<T> {
    /// Why threads cannot share it.
    pub const SHARED: Option<&'static str> = None;
}

/// The answers for a type that has nothing of what a state needs.
pub trait Bare {
    /// Whether it can begin empty.
    const DEFAULT: Lacks = Lacks;
    /// Whether it can be written.
    const SERIALIZE: Lacks = Lacks;
    /// Whether it can be read.
    const DESERIALIZE: Lacks = Lacks;
    /// Why threads cannot share it.
    const SHARED: Option<&'static str> = Some(
        "the state of a service is used by several threads, and a part of this one cannot be \
         (`Rc`, a raw pointer, something with a cell inside); use a part that is \
         `Send + Sync + 'static`",
    );
}

impl<T: ?Sized> Bare for Probe<T> {}

/// Holds for the answer of a state that can begin empty.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be the state of a service: `Default` is missing",
    label = "add `#[derive(Default)]` to `{T}`",
    note = "every replica begins with the default, so that all begin with the same state"
)]
pub trait Defaults<T> {}

/// Holds for the answer of a state that can be written.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be the state of a service: `serde::Serialize` is missing",
    label = "add `#[derive(serde::Serialize)]` to `{T}`",
    note = "the state is written into snapshots"
)]
pub trait Serializes<T> {}

/// Holds for the answer of a state that can be read.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be the state of a service: `serde::Deserialize` is missing",
    label = "add `#[derive(serde::Deserialize)]` to `{T}`",
    note = "the state is read from snapshots"
)]
pub trait Deserializes<T> {}

impl<T> Defaults<T> for Has {}
impl<T> Serializes<T> for Has {}
impl<T> Deserializes<T> for Has {}

/// Refuses a state that lacks a trait, on the user's token and in our words.
pub const fn state<T, D, S, L>(_default: &D, _serialize: &S, _deserialize: &L)
where
    D: Defaults<T>,
    S: Serializes<T>,
    L: Deserializes<T>,
{
}

/// Refuses a state that threads cannot share, unless a field was refused for it already.
///
/// # Panics
/// If there is something against the state, and nothing against its fields.
#[track_caller]
pub const fn shared(refusal: Option<&'static str>, fields: &[Option<&'static str>]) {
    let mut rest = fields;
    while let [first, others @ ..] = rest {
        if first.is_some() {
            return;
        }
        rest = others;
    }
    accept(refusal);
}
