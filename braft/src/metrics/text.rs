//! The text format of Prometheus.
//!
//! Source: Prometheus, "Exposition formats", text-based format 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Counts;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, until the process ends.
    Counter,
    Gauge,
    /// Durations in seconds.
    Histogram,
}

/// A metric: its name, and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// The labels of one sample.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page under construction: metric by metric, each with its samples.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
    metric: Option<Metric>,
}

impl Page {
    /// Begins with the next metric.
    pub(crate) fn metric(&mut self, metric: Metric) -> &mut Self {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let Metric { name, help, .. } = metric;
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self.metric = Some(metric);
        self
    }

    /// One metric with one sample.
    pub(crate) fn single(&mut self, metric: Metric, value: impl Display) {
        self.metric(metric).sample(&[], value);
    }

    /// A sample of the present metric.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// What a histogram has counted.
    pub(crate) fn counts(&mut self, labels: Labels<'_>, counts: &Counts) {
        for (bound, count) in counts.cumulative() {
            let bound = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_sum", labels, None, counts.sum.as_secs_f64());
        self.line("_count", labels, None, counts.total());
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let name = self.metric.map_or("", |metric| metric.name);
        self.put(format_args!("{name}{suffix}"));
        let bound = bound.map(|bound| ("le", bound));
        for (at, (label, text)) in labels.iter().copied().chain(bound).enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.put(format_args!("{before}{label}=\"{}\"", escaped(text)));
        }
        if !labels.is_empty() || bound.is_some() {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes any text");
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;
    use std::time::Duration;

    #[test]
    fn samples_follow_their_metric_and_labels_are_escaped() {
        let metric = |name, kind| Metric {
            name,
            kind,
            help: "What it is.",
        };
        let mut page = Page::default();
        page.single(metric("a_total", Kind::Counter), 7);
        page.metric(metric("b", Kind::Gauge));
        page.sample(&[("x", "a\"b\\c\nd"), ("y", "")], 0.5);
        let times = Histogram::default();
        times.record(Duration::from_millis(1));
        page.metric(metric("c_seconds", Kind::Histogram));
        page.counts(&[("x", "y")], &times.counts());
        let text = page.finish();
        let begins = "# HELP a_total What it is.\n# TYPE a_total counter\na_total 7\n\
                      # HELP b What it is.\n# TYPE b gauge\nb{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 0.5\n";
        assert!(text.starts_with(begins), "{text}");
        for line in [
            "c_seconds_bucket{x=\"y\",le=\"0.000016\"} 0\n",
            "c_seconds_bucket{x=\"y\",le=\"0.001024\"} 1\n",
            "c_seconds_bucket{x=\"y\",le=\"+Inf\"} 1\n",
            "c_seconds_sum{x=\"y\"} 0.001\n",
            "c_seconds_count{x=\"y\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
