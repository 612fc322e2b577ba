//! temp
pub(crate) fn router(_: std::sync::Arc<crate::node::Core>) -> axum::Router {
    axum::Router::new()
}
