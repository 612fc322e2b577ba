//! Arguments and answers: owned, borrowed, nested, behind aliases.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use braft::testing::loopback;
use braft::{ErrorKind, Outcome, raft_service};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, PartialOrd, Eq, Ord, Serialize, Deserialize)]
struct Sku(String);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Item {
    count: u32,
    note: Option<String>,
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tag {
    Cold,
    Fragile { grams: u64 },
    Other(String),
}

#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
enum StockError {
    #[error("short by {missing}")]
    Short { missing: u32 },
    #[error("no such item")]
    Unknown,
}

/// An alias: the macro cannot see that it is a `Result`.
type Answer<T> = Result<T, StockError>;

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Stock {
    items: BTreeMap<Sku, Item>,
}

#[raft_service]
impl Stock {
    const LENGTH: usize = 3;

    fn put(&mut self, sku: Sku, item: Item) -> Option<Item> {
        self.items.insert(sku, item)
    }

    fn take(&mut self, sku: &str, count: u32) -> Answer<u32> {
        let sku = Sku(sku.to_owned());
        let item = self.items.get_mut(&sku).ok_or(StockError::Unknown)?;
        let missing = count.saturating_sub(item.count);
        item.count = item
            .count
            .checked_sub(count)
            .ok_or(StockError::Short { missing })?;
        Ok(item.count)
    }

    fn tag(&mut self, sku: &Sku, tags: &[Tag]) -> Answer<&[Tag]> {
        let item = self.items.get_mut(sku).ok_or(StockError::Unknown)?;
        item.tags.extend_from_slice(tags);
        Ok(&item.tags)
    }

    fn replace(&mut self, mut with: Self) -> Self {
        std::mem::swap(self, &mut with);
        with
    }

    fn clear(&mut self) {
        self.items.clear();
    }

    fn note(&self, sku: &str) -> Option<&str> {
        self.items.get(&Sku(sku.to_owned()))?.note.as_deref()
    }

    fn item(&self, sku: &Sku) -> Option<&Item> {
        self.items.get(sku)
    }

    fn names(&self) -> Vec<&str> {
        self.items.keys().map(|sku| sku.0.as_str()).collect()
    }

    fn first(&self) -> Answer<(&Sku, &Item)> {
        self.items.iter().next().ok_or(StockError::Unknown)
    }

    fn all(&self) -> &BTreeMap<Sku, Item> {
        &self.items
    }

    fn label(&self, sku: &str) -> Cow<'_, str> {
        match self.note(sku) {
            Some(note) => Cow::Borrowed(note),
            None => Cow::Owned(format!("{sku}!")),
        }
    }

    fn unit(&self) -> &'static str {
        "piece"
    }

    fn shout(&mut self, text: Cow<'static, str>) -> String {
        text.to_uppercase()
    }

    fn padded(&self, bytes: [u8; Self::LENGTH]) -> ([u8; Stock::LENGTH], Duration) {
        (bytes, Duration::from_secs(self.items.len() as u64))
    }
}

fn item() -> Item {
    Item {
        count: 5,
        note: Some("dry".to_owned()),
        tags: vec![
            Tag::Cold,
            Tag::Fragile { grams: 3 },
            Tag::Other("x".to_owned()),
        ],
    }
}

#[tokio::test]
async fn owned_values_go_there_and_back() -> Result<(), braft::Error> {
    let stock = loopback::<Stock>();
    let sku = Sku("a".to_owned());
    assert_eq!(stock.put(sku.clone(), item()).await?, None);
    assert_eq!(stock.put(sku.clone(), Item::default()).await?, Some(item()));
    let other = Stock {
        items: BTreeMap::from([(Sku("z".to_owned()), item())]),
    };
    assert_eq!(
        stock.replace(other).await?.items,
        BTreeMap::from([(sku, Item::default())])
    );
    stock.clear().await?;
    assert_eq!(stock.all().await?, BTreeMap::new());
    assert_eq!(
        stock.padded([1, 2, 3]).await?,
        ([1, 2, 3], Duration::from_secs(0))
    );
    Ok(())
}

#[tokio::test]
async fn borrowed_arguments_and_answers_travel_owned() -> Result<(), braft::Error> {
    let stock = loopback::<Stock>();
    let sku = Sku("a".to_owned());
    stock.put(sku.clone(), item()).await?;
    assert_eq!(stock.take("a", 2).await?, Ok(3));
    assert_eq!(stock.note("a").await?, Some("dry".to_owned()));
    assert_eq!(stock.label("a").await?, "dry");
    assert_eq!(stock.label("b").await?, "b!");
    assert_eq!(stock.names().await?, ["a"]);
    assert_eq!(stock.unit().await?, "piece");
    assert_eq!(stock.shout("hey".into()).await?, "HEY");
    assert_eq!(stock.tag(&sku, &[Tag::Cold]).await?.map(|t| t.len()), Ok(4));
    assert_eq!(stock.item(&sku).await?.map(|item| item.count), Some(3));
    assert_eq!(stock.first().await?.map(|(sku, _)| sku), Ok(sku));
    Ok(())
}

#[tokio::test]
async fn the_services_own_errors_are_answers() -> Result<(), braft::Error> {
    let stock = loopback::<Stock>();
    assert_eq!(stock.take("a", 2).await?, Err(StockError::Unknown));
    stock.put(Sku("a".to_owned()), item()).await?;
    let short = StockError::Short { missing: 1 };
    assert_eq!(stock.take("a", 6).await?, Err(short));
    Ok(())
}

/// A call outlives its arguments and moves between threads.
#[tokio::test]
async fn a_call_borrows_nothing() -> Result<(), braft::Error> {
    fn movable<T: Send + 'static>(value: T) -> T {
        value
    }
    let call = {
        let sku = "a".to_owned();
        movable(loopback::<Stock>()).take(&sku, 1)
    };
    assert_eq!(movable(call).await?, Err(StockError::Unknown));
    Ok(())
}

/// Something serde gives up on.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("not today"))
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Mute {
    count: u64,
}

#[raft_service]
impl Mute {
    fn speak(&mut self) -> Unwritable {
        self.count += 1;
        Unwritable
    }

    fn listen(&mut self, to: Unwritable) {
        let Unwritable = to;
        self.count += 1;
    }

    fn show(&self) -> Unwritable {
        Unwritable
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[tokio::test]
async fn what_cannot_be_encoded_is_an_error_that_tells_what_happened() -> Result<(), braft::Error> {
    let mute = loopback::<Mute>();
    let outcome = |error: braft::Error| (error.kind(), error.outcome());
    let answer = mute.speak().await.map(drop).map_err(outcome);
    assert_eq!(answer, Err((ErrorKind::Rejected, Outcome::Applied)));
    let answer = mute.listen(Unwritable).await.map_err(outcome);
    assert_eq!(answer, Err((ErrorKind::Rejected, Outcome::NotApplied)));
    let answer = mute.show().await.map(drop).map_err(outcome);
    assert_eq!(answer, Err((ErrorKind::Rejected, Outcome::NotApplied)));
    assert_eq!(mute.count().await?, 1);
    Ok(())
}
