#[raft_service(name = "shop.stock", crate = crate::braft)]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    items: BTreeMap<Sku, Item>,
    moved: u64,
}

#[raft_service(crate = crate::braft)]
impl Stock {
    pub const LIMIT: usize = 100;

    pub fn new() -> Self {
        Stock::default()
    }

    /// Takes some away.
    ///
    /// # Errors
    /// If there are too few.
    #[command(name = "take_items")]
    #[deprecated = "use `sell`"]
    pub fn take(&mut self, context: &mut Context<Moved>, sku: &str, count: u32) -> Answer<u32> {
        self.check(sku)?;
        context.emit(Moved { count });
        Ok(count)
    }

    #[timer]
    fn expire(&mut self, context: &mut Context<Moved>) {
        self.items.clear();
    }

    fn replace(&mut self, with: Self) -> Option<Self> {
        Some(std::mem::replace(self, with))
    }

    pub(super) fn note(&self, context: &Context<Moved>, sku: &Sku) -> Option<&str> {
        self.items.get(sku)?.note(context.now())
    }

    #[cfg(feature = "search")]
    pub fn search(&self, r#in: &[Tag]) -> Vec<&Item> {
        self.items.values().filter(|item| item.tags == r#in).collect()
    }

    #[local]
    fn check(&self, sku: &str) -> Answer<()> {
        Ok(())
    }
}
