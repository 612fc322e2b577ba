//! What a test on a cluster looks like.

#[braft::test(nodes = 0)]
async fn no_nodes(cluster: ()) -> Result<(), String> {
    let () = cluster;
    Ok(())
}

#[braft::test(nodes = 10, seed = 1)]
async fn many_nodes(cluster: ()) -> Result<(), String> {
    let () = cluster;
    Ok(())
}

#[braft::test]
async fn no_cluster() -> Result<(), String> {
    Ok(())
}

#[braft::test]
#[test]
fn neither_async_nor_a_result(cluster: ()) {
    let () = cluster;
}

fn main() {}
