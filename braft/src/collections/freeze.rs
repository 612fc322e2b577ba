//! What is cheap to clone.

use std::time::{Duration, SystemTime};

use super::{Map, Set};

/// A part of a state that is cheap to clone: in constant time, or nearly so.
///
/// If all fields of a service's state are, a snapshot holds up commands only while they are cloned;
/// otherwise while the whole state is written. Scalars, text, [`Map`] and [`Set`] are cheap; so are
/// options, arrays and small tuples of them. For a type of your own that is, write
/// `impl braft::Freeze for Mine {}`.
///
/// # Correctness
/// A clone must not change when the original does.
pub trait Freeze: Clone {}

impl<K, V> Freeze for Map<K, V> {}
impl<T> Freeze for Set<T> {}
impl<T: Freeze> Freeze for Option<T> {}
impl<T: Freeze, const N: usize> Freeze for [T; N] {}

macro_rules! cheap {
    ($($ty:ty),* $(,)?) => { $(impl Freeze for $ty {})* };
}

cheap!(
    (),
    bool,
    char,
    String,
    Duration,
    SystemTime,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
);

macro_rules! cheap_tuples {
    ($(($($name:ident),*)),*) => { $(impl<$($name: Freeze),*> Freeze for ($($name,)*) {})* };
}

cheap_tuples!((A), (A, B), (A, B, C), (A, B, C, D));

/// What generated code asks of a field. An inherent function comes before a trait's of the same
/// name, so a field that is not [`Freeze`] is answered by [`NotCheap`].
#[derive(Debug)]
pub struct Freezing<'a, T>(pub &'a T);

impl<T: Freeze> Freezing<'_, T> {
    /// A clone.
    pub fn freeze(&self) -> Option<T> {
        Some(self.0.clone())
    }
}

/// The answer for every other field.
pub trait NotCheap<T> {
    /// Nothing.
    fn freeze(&self) -> Option<T> {
        None
    }
}

impl<T> NotCheap<T> for Freezing<'_, T> {}
