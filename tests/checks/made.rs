//! Arguments that cannot be invented from their types, and functions that make them.

use std::collections::BTreeMap;

use braft::testing::check;
use braft::{Rng, raft_service};
use serde::{Deserialize, Serialize};

/// It says what it is by its form, so that nobody can ask the type for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    Pieces(u64),
    Words(String),
}

/// Of all text next to nothing is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Article(String);

impl TryFrom<String> for Article {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("article-") {
            Some(number) if number.parse::<u64>().is_ok() => Ok(Article(text)),
            _ => Err(format!("{text} is no article")),
        }
    }
}

impl From<Article> for String {
    fn from(article: Article) -> String {
        article.0
    }
}

fn amount(rng: &mut Rng) -> Amount {
    match rng.below(2) {
        0 => Amount::Pieces(rng.below(5)),
        _ => Amount::Words("a few".to_owned()),
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Orders {
    open: BTreeMap<Article, Vec<Amount>>,
    last: String,
}

#[raft_service]
impl Orders {
    pub fn order(
        &mut self,
        #[arg(generate = Self::article)] article: Article,
        #[arg(generate = amount)] amount: Amount,
        note: &str,
    ) -> usize {
        note.clone_into(&mut self.last);
        let open = self.open.entry(article).or_default();
        open.push(amount);
        open.len()
    }

    #[command(name = "drop")]
    pub fn cancel(
        &mut self,
        #[arg(generate = Self::article, name = "what")] article: &Article,
    ) -> bool {
        self.open.remove(article).is_some()
    }

    pub fn of(&self, #[arg(generate = Self::article)] article: &Article) -> Option<&[Amount]> {
        self.open.get(article).map(Vec::as_slice)
    }

    fn article(rng: &mut Rng) -> Article {
        Article(format!("article-{}", rng.below(3)))
    }
}

#[test]
fn a_service_is_checked_with_arguments_that_functions_make() {
    let checked = check::<Orders>().seeds(5).without_cluster();
    checked.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn the_same_on_a_simulated_cluster() {
    let checked = check::<Orders>().seeds(1).steps(60).run().await;
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// What is deep inside an argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Basket {
    articles: Vec<Option<Article>>,
    amounts: BTreeMap<Article, (Amount, u8)>,
    last: Option<Box<Basket>>,
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Baskets {
    kept: Vec<Basket>,
    articles: u64,
}

#[raft_service(generate(Article = Orders::article, Amount = amount))]
impl Baskets {
    pub fn keep(&mut self, basket: Basket) -> usize {
        let articles = basket.articles.iter().flatten().count() + basket.amounts.len();
        self.articles += articles as u64;
        self.kept.push(basket);
        articles
    }

    pub fn count(&self, article: &Article) -> usize {
        let baskets = self.kept.iter();
        let holding = baskets.filter(|basket| basket.amounts.contains_key(article));
        holding.count()
    }
}

#[tokio::test]
async fn what_is_deep_inside_arguments_is_made_by_the_functions_of_its_types() {
    let checked = check::<Baskets>().seeds(5).without_cluster();
    checked.unwrap_or_else(|error| panic!("{error}"));
    let checked = check::<Baskets>().seeds(1).steps(60).run().await;
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// The same with no function for what is inside.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Unmade {
    last: Option<(u8, Article)>,
}

#[raft_service]
impl Unmade {
    pub fn put(&mut self, pair: (u8, Article)) {
        self.last = Some(pair);
    }
}

#[test]
fn a_type_inside_an_argument_that_cannot_be_invented_is_named_with_the_way_out() {
    let error = check::<Unmade>().without_cluster().expect_err("no article");
    let error = error.to_string();
    for part in [
        "Article can be invented for the argument `pair` of `put`, which is a (u8, ",
        "#[raft_service(generate(Article = path))]",
        "fn path(rng: &mut braft::Rng) -> ",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

/// An argument without a function.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Amounts {
    last: Option<Amount>,
}

#[raft_service]
impl Amounts {
    pub fn put(&mut self, amount: Amount) {
        self.last = Some(amount);
    }
}

#[test]
fn an_argument_that_cannot_be_invented_is_named_with_the_way_out() {
    let error = check::<Amounts>().without_cluster().expect_err("untagged");
    let error = error.to_string();
    for part in [
        "Amount can be invented for the argument `amount` of `put`",
        "#[arg(generate = path)]",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
