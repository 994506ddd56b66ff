//! Where things stand in a picture.

use super::*;
use crate::table::Spread;

fn plot(x: Scale, y: Scale, points: &[(f64, f64)]) -> Plot {
    let series = Series {
        name: "<one>".into(),
        colour: 9,
        dash: 0,
        points: points.to_vec(),
        range: points.iter().map(|(_, y)| (y * 0.5, y * 2.0)).collect(),
        has_dots: true,
    };
    Plot {
        title: "A & B".into(),
        x_label: "x".into(),
        y_label: "y".into(),
        x,
        y,
        series: vec![series],
    }
}

fn texts(ticks: &[(f64, String)]) -> Vec<&str> {
    ticks.iter().map(|tick| tick.1.as_str()).collect()
}

#[test]
fn axes_are_divided_as_people_count() {
    assert_eq!(texts(&ticks(Scale::Linear, 0.0, 10.0)), ["0", "2", "4", "6", "8", "10"]);
    assert_eq!(texts(&ticks(Scale::Linear, 0.0, 1.7e6))[1], "500 k");
    assert_eq!(texts(&ticks(Scale::Log, -1.0, 2.0)), ["0.1", "1", "10", "100"]);
    assert_eq!(texts(&ticks(Scale::Log, 0.0, 1.0)), ["1", "2", "5", "10"]);
    assert_eq!(texts(&ticks(Scale::Log, 3.0, 3.5)), ["1 k", "1.5 k", "2 k", "3 k"]);
    let percentiles = ticks(Scale::Percentile, 0.0, 3.0);
    assert_eq!(texts(&percentiles), ["0", "50", "90", "99", "99.9"]);
}

#[test]
fn percentiles_stand_by_what_lies_above_them() {
    let at = |value| place(Scale::Percentile, value);
    assert_eq!(at(0.0), 0.0);
    assert!((at(99.0) - 2.0).abs() < 1e-9 && (at(99.9) - 3.0).abs() < 1e-9);
    // The very end is not infinitely far away.
    assert!((at(100.0) - 5.0).abs() < 1e-9);
}

#[test]
fn a_picture_holds_its_lines_and_its_words() {
    let points = [(0.0, 1.0), (90.0, 10.0), (99.9, 100.0)];
    let svg = plot(Scale::Percentile, Scale::Log, &points).svg(true).unwrap();
    assert!(svg.contains("A &amp; B") && svg.contains("&lt;one&gt;") && !svg.contains("<one>"));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains("prefers-color-scheme:dark"), "it stands alone");
    assert!(!svg.contains("<script") && !svg.contains("href"), "and needs nothing");
    assert_eq!(svg.matches("<circle").count(), 3);
    assert_eq!(svg.matches("class=\"band\"").count(), 1);
    assert!(svg.contains("var(--c1)"), "colours begin again");
    // The first point is at the left end of the axis, the last one at the right end.
    assert!(svg.contains(&format!("cx=\"{LEFT:.1}\"")), "{svg}");
    assert!(svg.contains(&format!("cx=\"{:.1}\"", WIDTH - RIGHT)), "{svg}");
    let within = plot(Scale::Linear, Scale::Linear, &points).svg(false).unwrap();
    assert!(!within.contains("<style>"), "a page has the style once");
}

#[test]
fn a_long_legend_takes_several_lines() {
    let mut long = plot(Scale::Linear, Scale::Linear, &[(0.0, 1.0), (1.0, 2.0)]);
    assert_eq!(long.legend(), [(LEFT, 0)]);
    long.series[0].name = "x".repeat(40);
    long.series = vec![long.series[0].clone(); 3];
    let lines: Vec<usize> = long.legend().iter().map(|place| place.1).collect();
    assert_eq!(lines, [0, 1, 2]);
    // The plot makes room for them.
    let svg = long.svg(false).unwrap();
    assert!(svg.contains(&format!(" {}V", TOP + 2.0 * LEGEND_STEP)), "{svg}");
}

#[test]
fn nothing_that_is_drawn_is_no_number() {
    for points in [&[(1.0, 5.0), (1.0, 5.0)][..], &[(0.0, 0.0), (1.0, 0.0)], &[(2.0, 3.0)]] {
        for scale in [Scale::Linear, Scale::Log] {
            let svg = plot(Scale::Linear, scale, points).svg(true).unwrap_or_default();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?} {svg}");
        }
    }
    assert!(plot(Scale::Linear, Scale::Linear, &[]).svg(true).is_none());
    assert!(plot(Scale::Linear, Scale::Log, &[(1.0, 0.0)]).svg(true).is_none());
}

#[test]
fn bars_are_as_long_as_their_medians() {
    let bar = |median: f64, high| Bar {
        name: "a".into(),
        colour: 0,
        spread: Spread { median, low: median, high },
        text: "t".into(),
    };
    let svg = bars("rates", &[bar(50.0, 100.0), bar(25.0, 30.0)], false).unwrap();
    // 240 units are left for the longest.
    assert!(svg.contains("width=\"120.0\"") && svg.contains("width=\"60.0\""), "{svg}");
    assert!(bars("rates", &[], false).is_none());
    assert!(bars("rates", &[bar(0.0, 0.0)], false).is_none());
}

#[test]
fn numbers_are_short() {
    for (value, text) in
        [(0.0, "0"), (1.5, "1.5"), (1500.0, "1.5 k"), (2e7, "20 M"), (0.002, "0.002")]
    {
        assert_eq!(short(value), text);
    }
}
