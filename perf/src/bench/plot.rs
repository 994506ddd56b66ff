//! Pictures: a plot with two axes, made into SVG by hand. No script, no font, nothing from outside.
//!
//! Colours are classes (`c0` …), defined once by [`STYLE`] for light and for dark; lines differ by
//! their dashes as well, for those who see no colours.

use std::fmt::Write;

/// What stands in a page once, or in each picture that stands alone.
pub const STYLE: &str = "\
:root{--ink:#1c1e21;--soft:#6b7280;--line:#e3e5e8;--ground:#fff;--c0:#d9480f;--c1:#1c6dd0;\
--c2:#6b7280;--c3:#2b8a3e;--c4:#9c36b5;--c5:#0b7285;--c6:#b08900;--c7:#c2255c}\
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#9aa2ad;--line:#343a42;\
--ground:#15181c;--c0:#ff8a4c;--c1:#6cb2ff;--c2:#a5adb8;--c3:#69db7c;--c4:#da9bee;--c5:#4fd1e0;\
--c6:#ffd43b;--c7:#ff8fb1}}\
svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg text.soft{fill:var(--soft)}\
svg .grid{stroke:var(--line);stroke-width:1;fill:none}svg .ground{fill:var(--ground)}\
svg .band{stroke:none;opacity:.16}svg .curve{fill:none;stroke-width:2}\
svg .whisker{stroke-width:1.5}";

/// As many as there are colours; further ones begin again.
const COLOURS: usize = 8;
const DASHES: [&str; 4] = ["", "7 4", "2 3", "9 3 2 3"];
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
/// From one line of the legend to the next.
const LEGEND_STEP: f64 = 16.0;
/// What a logarithmic axis shows of nothing at all.
const LEAST: f64 = 1e-9;
/// A plot has no use for more percentiles than this: 99.999 %.
const TAIL_MIN: f64 = 1e-5;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By decades.
    Log,
    /// Percentiles, by the decades of what lies above them: 0, 90, 99, 99.9 …
    Percentile,
}

/// A line in a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Which colour; alike in all plots of a report.
    pub colour: usize,
    /// Which dashes.
    pub dash: usize,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
    /// Lowest and highest at each point, as wide as `points` or empty.
    pub range: Vec<(f64, f64)>,
    /// Whether the points themselves are drawn.
    pub has_dots: bool,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below it.
    pub x_label: String,
    /// Beside the title.
    pub y_label: String,
    /// From left to right.
    pub x: Scale,
    /// From below.
    pub y: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

/// Where a value stands on an axis, before it is stretched to the picture.
fn place(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => value.max(LEAST).log10(),
        Scale::Percentile => -(1.0 - value / 100.0).max(TAIL_MIN).log10(),
    }
}

/// The ends of an axis, in the same measure.
fn ends(scale: Scale, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.filter(|value| value.is_finite() && (scale != Scale::Log || *value > 0.0));
    let places: Vec<f64> = values.map(|value| place(scale, value)).collect();
    let low = places.iter().copied().reduce(f64::min)?;
    let high = places.iter().copied().reduce(f64::max)?;
    Some(match scale {
        Scale::Linear => (low.min(0.0), if high > 0.0 { high * 1.05 } else { 1.0 }),
        Scale::Percentile => (0.0, high.max(1.0)),
        Scale::Log if high - low < 0.5 => (low - 0.25, high + 0.25),
        Scale::Log => (low - 0.05, high + 0.05),
    })
}

/// Values that are marked on an axis, and what they are called.
fn ticks(scale: Scale, low: f64, high: f64) -> Vec<(f64, String)> {
    match scale {
        Scale::Percentile => [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999]
            .iter()
            .filter(|value| place(scale, **value) <= high + 1e-9)
            .map(|value| (*value, format!("{value}")))
            .collect(),
        Scale::Log => {
            let steps: &[f64] = match high - low {
                span if span < 0.7 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
                span if span < 1.5 => &[1.0, 2.0, 5.0],
                _ => &[1.0],
            };
            let decades = low.floor() as i32..=high.ceil() as i32;
            let all = decades
                .flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)));
            let is_inside = |value: &f64| (low..=high).contains(&value.log10());
            all.filter(is_inside).map(|value| (value, short(value))).collect()
        }
        Scale::Linear => {
            let rough = (high - low) / 5.0;
            let unit = 10f64.powf(rough.log10().floor());
            let factors = [1.0, 2.0, 5.0, 10.0];
            let step = factors.iter().map(|f| f * unit).find(|step| *step >= rough);
            let step = step.unwrap_or(rough);
            let first = (low / step).ceil() as i64;
            let last = (high / step).floor() as i64;
            (first..=last).map(|n| (n as f64 * step, short(n as f64 * step))).collect()
        }
    }
}

/// A number in few letters: 1.5 k, 20 M.
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        a if a >= 1e9 => (value / 1e9, " G"),
        a if a >= 1e6 => (value / 1e6, " M"),
        a if a >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// Text that may stand in SVG and HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The two axes of a picture.
struct Frame {
    x: (Scale, f64, f64),
    y: (Scale, f64, f64),
    /// Where the plot begins, below title and legend.
    head: f64,
}

impl Frame {
    fn left(&self, value: f64) -> f64 {
        let (scale, low, high) = self.x;
        LEFT + (place(scale, value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, value: f64) -> f64 {
        let (scale, low, high) = self.y;
        let share = ((place(scale, value) - low) / (high - low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - self.head - BOTTOM)
    }
}

impl Plot {
    /// The picture; `None` when there is nothing to draw. `is_alone`: it is to be a file of its
    /// own, with style and ground.
    pub fn svg(&self, is_alone: bool) -> Option<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let ranges = self.series.iter().flat_map(|series| &series.range);
        let y_values = points().map(|point| point.1).chain(ranges.flat_map(|r| [r.0, r.1]));
        let (left, right) = ends(self.x, points().map(|point| point.0))?;
        let (low, high) = ends(self.y, y_values)?;
        let right = if right > left { right } else { left + 1.0 };
        let legend = self.legend();
        let lines = legend.iter().map(|place| place.1 + 1).max().unwrap_or_default();
        let head = TOP + LEGEND_STEP * lines.saturating_sub(1) as f64;
        let frame = Frame { x: (self.x, left, right), y: (self.y, low, high), head };
        let mut svg = opened(WIDTH, HEIGHT, &self.title, is_alone);
        self.draw_axes(&mut svg, &frame);
        for series in &self.series {
            draw_series(&mut svg, &frame, series);
        }
        self.draw_legend(&mut svg, &legend);
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn draw_axes(&self, svg: &mut String, frame: &Frame) {
        let (bottom, right, head) = (HEIGHT - BOTTOM, WIDTH - RIGHT, frame.head);
        for (value, text) in ticks(self.x, frame.x.1, frame.x.2) {
            let x = frame.left(value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {head}V{bottom}\"/>\
                 <text class=\"soft\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}\
                 </text>",
                bottom + 16.0
            );
        }
        for (value, text) in ticks(self.y, frame.y.1, frame.y.2) {
            let y = frame.top(value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"15\" font-weight=\"600\">{}</text>\
             <text class=\"soft\" x=\"{right}\" y=\"15\" text-anchor=\"end\">{}</text>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            escaped(&self.title),
            escaped(&self.y_label),
            f64::midpoint(LEFT, right),
            HEIGHT - 8.0,
            escaped(&self.x_label)
        );
    }

    /// Where each series stands in the legend: from the left, and in which line.
    fn legend(&self) -> Vec<(f64, usize)> {
        let (mut x, mut line) = (LEFT, 0);
        let mut places = Vec::new();
        for series in &self.series {
            // About as wide as the letters are.
            let width = 42.0 + series.name.chars().count() as f64 * 6.6;
            if x > LEFT && x + width > WIDTH {
                (x, line) = (LEFT, line + 1);
            }
            places.push((x, line));
            x += width;
        }
        places
    }

    fn draw_legend(&self, svg: &mut String, places: &[(f64, usize)]) {
        for (series, &(x, line)) in self.series.iter().zip(places) {
            let y = 30.0 + LEGEND_STEP * line as f64;
            let (colour, dash) = look(series);
            let _ = write!(
                svg,
                "<path class=\"curve\" style=\"stroke:var(--c{colour})\" \
                 stroke-dasharray=\"{dash}\" d=\"M{x:.1} {y:.1}h22\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 27.0,
                y + 4.0,
                escaped(&series.name)
            );
        }
    }
}

fn look(series: &Series) -> (usize, &'static str) {
    (series.colour % COLOURS, DASHES[series.dash % DASHES.len()])
}

fn draw_series(svg: &mut String, frame: &Frame, series: &Series) {
    let (colour, dash) = look(series);
    let at = |(x, y): (f64, f64)| format!("{:.1} {:.1}", frame.left(x), frame.top(y));
    if series.range.len() == series.points.len() && series.range.len() > 1 {
        let pairs = || series.points.iter().zip(&series.range);
        let above = pairs().map(|(point, range)| at((point.0, range.1)));
        let below = pairs().rev().map(|(point, range)| at((point.0, range.0)));
        let outline: Vec<String> = above.chain(below).collect();
        let _ = write!(
            svg,
            "<path class=\"band\" style=\"fill:var(--c{colour})\" d=\"M{}Z\"/>",
            outline.join("L")
        );
    }
    let corners: Vec<String> = series.points.iter().copied().map(at).collect();
    let _ = write!(
        svg,
        "<path class=\"curve\" style=\"stroke:var(--c{colour})\" stroke-dasharray=\"{dash}\" \
         d=\"M{}\"><title>{}</title></path>",
        corners.join("L"),
        escaped(&series.name)
    );
    for &(x, y) in series.points.iter().filter(|_| series.has_dots) {
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" style=\"fill:var(--c{colour})\"><title>\
             {}: {}, {}</title></circle>",
            frame.left(x),
            frame.top(y),
            escaped(&series.name),
            short(x),
            short(y)
        );
    }
}

/// The beginning of a picture.
pub fn opened(width: f64, height: f64, title: &str, is_alone: bool) -> String {
    let title = escaped(title);
    let style = if is_alone { format!("<style>{STYLE}</style>") } else { String::new() };
    let ground =
        if is_alone { "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>" } else { "" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">{style}{ground}"
    )
}

/// A bar with the range of what it stands for.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Beside it.
    pub name: String,
    /// Which colour.
    pub colour: usize,
    /// How long it is, and between what it lies.
    pub spread: crate::table::Spread,
    /// At its end.
    pub text: String,
}

/// Horizontal bars from zero; `None` without any.
pub fn bars(title: &str, bars: &[Bar], is_alone: bool) -> Option<String> {
    const NAMES: f64 = 190.0;
    const TEXTS: f64 = 210.0;
    const STEP: f64 = 26.0;
    let most =
        bars.iter().map(|bar| bar.spread.high).reduce(f64::max).filter(|most| *most > 0.0)?;
    let height = 30.0 + STEP * bars.len() as f64 + 6.0;
    let mut svg = opened(WIDTH, height, title, is_alone);
    let _ = write!(svg, "<text x=\"8\" y=\"18\" font-weight=\"600\">{}</text>", escaped(title));
    for (index, bar) in bars.iter().enumerate() {
        let y = 30.0 + STEP * index as f64;
        let long = |value: f64| value.max(0.0) / most * (WIDTH - NAMES - TEXTS);
        let colour = bar.colour % COLOURS;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect x=\"{NAMES}\" \
             y=\"{y:.1}\" width=\"{:.1}\" height=\"18\" rx=\"2\" style=\"fill:var(--c{colour})\"/>\
             <path class=\"whisker\" style=\"stroke:var(--ink)\" d=\"M{:.1} {:.1}H{:.1}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            NAMES - 8.0,
            y + 13.0,
            escaped(&bar.name),
            long(bar.spread.median).max(1.0),
            NAMES + long(bar.spread.low),
            y + 9.0,
            NAMES + long(bar.spread.high),
            NAMES + long(bar.spread.high) + 8.0,
            y + 13.0,
            escaped(&bar.text)
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
#[path = "plot_test.rs"]
mod plot_test;
