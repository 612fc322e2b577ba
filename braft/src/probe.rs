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
    "HashMap", "`BTreeMap` or `indexmap::IndexMap`", [K, V, S] HashMap<K, V, S>;
    "HashSet", "`BTreeSet` or `indexmap::IndexSet`", [T, S] HashSet<T, S>;
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
