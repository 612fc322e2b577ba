//! Nodes that find each other through the API of Kubernetes.
//!
//! The API server is a stand-in over real HTTP (`stand_in`). It follows Kubernetes 1.33: core/v1
//! Pods and discovery.k8s.io/v1 EndpointSlices, list and watch as in
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

mod cluster;
mod endpoint_slices;
mod log;
mod manifest;
mod objects;
mod pods;
mod pods_of_the_manifest;
mod seen;
mod stand_in;
mod trouble;
