//! Expected counts by energy bin for each nuclide behind each shielding.

use std::ops::Range;

use super::attenuation::{self, IRON, Material, WATER};
use super::grid::Grid;
use super::nuclides::{Beta, LIBRARY, Nuclide, NuclideClass};
use super::response::Detector;

/// What stands between a source and the detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shielding {
    /// Air.
    None,
    /// 10 g/cm² of water: a body, or light goods.
    Light,
    /// 20 g/cm² of iron: 2.5 cm of steel, or that much of a load.
    Steel,
    /// 60 g/cm² of iron: a source in its container, or deep in a load.
    Heavy,
    /// Peaks alone, of a bare source: with them, the continuum of a source
    /// is not tied to any of the other geometries.
    Peaks,
}

impl Shielding {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Light, Self::Steel, Self::Heavy, Self::Peaks];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Steel => "steel",
            Self::Heavy => "heavy",
            Self::Peaks => "peaks",
        }
    }

    fn layer(self) -> Option<(Material, f64)> {
        match self {
            Self::None | Self::Peaks => None,
            Self::Light => Some((WATER, 10.0)),
            Self::Steel => Some((IRON, 20.0)),
            Self::Heavy => Some((IRON, 60.0)),
        }
    }
}

/// The shape of one nuclide's spectrum behind one shielding.
#[derive(Debug, Clone)]
pub struct Template {
    /// The nuclide.
    pub nuclide: &'static Nuclide,
    /// What it is behind.
    pub shielding: Shielding,
    /// Share of the counts in each bin; they add up to 1.
    pub shape: Vec<f64>,
}

/// Every template for one kind of detector, on its grid.
#[derive(Debug, Clone)]
pub struct Templates {
    /// The detector.
    pub detector: Detector,
    /// The grid.
    pub grid: Grid,
    /// Nuclide by nuclide, in the order of the library.
    pub templates: Vec<Template>,
    /// Smooth continua, many times wider than a peak, with the energy of their middle in keV: scatter in surroundings that
    /// no template knows. They belong to no nuclide.
    pub continua: Vec<(f64, Vec<f64>)>,
    /// The bins outside of which a shape is zero, numbered like [`Templates::shape`].
    supports: Vec<Range<usize>>,
}

/// A shielding that lets less than this share of a nuclide's photons through has no template for it.
const VISIBLE: f64 = 1e-7;
/// Photons that the surroundings throw back, per photon that reaches the detector: about the albedo of concrete for
/// photons of some hundred keV (Chilton, Shultis, Faw, Principles of Radiation Shielding, 1984).
const ALBEDO: f64 = 0.25;
/// Slices in which a shielding is crossed.
const SLICES: u32 = 24;

impl Templates {
    /// Makes them; some ten milliseconds for a scintillator.
    pub fn new(detector: Detector) -> Self {
        let grid = Grid::new(detector.bins);
        let transport = Transport::new();
        let mut templates = Vec::new();
        for nuclide in LIBRARY {
            for shielding in Shielding::ALL {
                if let Some(shape) = transport.shape(&detector, &grid, nuclide, shielding) {
                    templates.push(Template {
                        nuclide,
                        shielding,
                        shape,
                    });
                }
            }
        }
        let continua = continua(&grid, detector.continua);
        let shapes = templates.iter().map(|template| &template.shape);
        let supports = shapes
            .chain(continua.iter().map(|(_, shape)| shape))
            .map(|shape| support(shape));
        Self {
            supports: supports.collect(),
            detector,
            continua,
            grid,
            templates,
        }
    }

    /// The bins outside of which a shape is zero.
    pub fn support(&self, index: usize) -> Range<usize> {
        self.supports.get(index).cloned().unwrap_or(0..0)
    }

    /// The shape of a template, or of a continuum, which are numbered after the templates.
    pub fn shape(&self, index: usize) -> &[f64] {
        let continuum = || self.continua.get(index.checked_sub(self.templates.len())?);
        match self.templates.get(index) {
            Some(template) => &template.shape,
            None => continuum().map_or(&[], |(_, shape)| shape),
        }
    }

    /// The class of a template.
    pub fn class(&self, template: usize) -> NuclideClass {
        self.templates
            .get(template)
            .map_or(NuclideClass::Unknown, |template| template.nuclide.class)
    }
}

/// Triangles evenly spaced in bins, each as wide as two spacings; together they can make any smooth spectrum.
fn continua(grid: &Grid, number: usize) -> Vec<(f64, Vec<f64>)> {
    let spacing = grid.bins() as f64 / number.max(1) as f64;
    (0..=number)
        .filter_map(|number| {
            let middle = number as f64 * spacing;
            let height = |bin: usize| (1.0 - (bin as f64 + 0.5 - middle).abs() / spacing).max(0.0);
            let heights: Vec<f64> = (0..grid.bins()).map(height).collect();
            let sum: f64 = heights.iter().sum();
            let kev = *grid.edges_kev().get(middle as usize)?;
            (sum > 0.0).then(|| (kev, heights.iter().map(|height| height / sum).collect()))
        })
        .collect()
}

impl Nuclide {
    /// The highest energy that it emits, keV.
    pub fn highest_kev(&self) -> f64 {
        let line = self.lines.iter().map(|(kev, _)| *kev).fold(0.0, f64::max);
        line.max(self.beta.map_or(0.0, |beta| beta.endpoint_kev))
    }
}

/// Photons on their way, in groups of energy. Lines stay exact as long as they have not scattered.
struct Transport {
    groups: Grid,
    middles: Vec<f64>,
    /// By group and lower group: the share of scatterings that lead there and go on forward.
    forward: Vec<Vec<f64>>,
    /// The same for photons that turn back.
    back: Vec<Vec<f64>>,
}

impl Transport {
    fn new() -> Self {
        let groups = Grid::new(128);
        let pairs = groups.edges_kev().iter().zip(groups.edges_kev().iter().skip(1));
        let widths: Vec<(f64, f64)> = pairs.map(|(low, high)| (0.5 * (low + high), high - low)).collect();
        let kernel = |forward: bool| {
            let from = widths.iter().enumerate().map(|(group, (kev, _))| {
                let total = attenuation::klein_nishina_total(*kev);
                let to = widths.iter().take(group + 1).map(|(to, width)| {
                    let cosine = attenuation::cosine(*kev, *to);
                    let share = attenuation::klein_nishina(*kev, kev - to) * width / total;
                    if (cosine > 0.0) == forward { share } else { 0.0 }
                });
                to.collect()
            });
            from.collect()
        };
        Self {
            forward: kernel(true),
            back: kernel(false),
            middles: widths.iter().map(|(middle, _)| *middle).collect(),
            groups,
        }
    }

    /// The shape of a nuclide's spectrum, if enough of it comes through.
    fn shape(&self, detector: &Detector, grid: &Grid, nuclide: &Nuclide, shielding: Shielding) -> Option<Vec<f64>> {
        let mut lines: Vec<(f64, f64)> = nuclide
            .lines
            .iter()
            .map(|(kev, percent)| (*kev, percent / 100.0))
            .collect();
        if let Some(beta) = nuclide.beta {
            lines.extend(self.middles.iter().map(|kev| (*kev, self.bremsstrahlung(beta, *kev))));
        }
        let emitted: f64 = lines.iter().map(|(_, photons)| photons).sum();
        let mut scattered = vec![0.0; self.groups.bins()];
        if let Some((material, depth)) = shielding.layer() {
            scattered = self.through(&lines, material, depth);
            for (kev, photons) in &mut lines {
                *photons *= libm::exp(-material.total(*kev) * depth);
            }
        }
        let arriving: f64 = lines.iter().map(|(_, photons)| photons).sum::<f64>() + scattered.iter().sum::<f64>();
        if arriving < VISIBLE * emitted {
            return None;
        }
        let mut hits = scattered.clone();
        for (kev, photons) in &lines {
            if let Some(hit) = self.groups.bin_of(*kev).and_then(|group| hits.get_mut(group)) {
                *hit += photons;
            }
        }
        if shielding == Shielding::Peaks {
            let mut peaks = vec![0.0; grid.bins()];
            for (kev, photons) in &lines {
                let mut continuum = vec![0.0; grid.bins()];
                detector.deposit(grid, *kev, *photons, &mut continuum, &mut peaks);
            }
            return nuclide.beta.is_none().then(|| normalised(peaks)).flatten();
        }
        for (hit, kernel) in hits.iter().zip(&self.back) {
            for (to, share) in scattered.iter_mut().zip(kernel) {
                *to += ALBEDO * hit * share;
            }
        }
        let (mut continuum, mut peaks) = (vec![0.0; grid.bins()], vec![0.0; grid.bins()]);
        for (kev, photons) in &lines {
            detector.deposit(grid, *kev, *photons, &mut continuum, &mut peaks);
        }
        for (kev, photons) in self.middles.iter().zip(&scattered) {
            // A group has no line in it: its peak is part of the continuum and is spread with it.
            let mut full = vec![0.0; grid.bins()];
            detector.deposit(grid, *kev, *photons, &mut continuum, &mut full);
            self.spread(grid, *kev, full.iter().sum(), &mut continuum);
        }
        detector.broaden(grid, &continuum, &mut peaks);
        normalised(peaks)
    }

    /// Spreads the full-energy events of a group over the bins that the group covers.
    fn spread(&self, grid: &Grid, kev: f64, counts: f64, continuum: &mut [f64]) {
        let Some(group) = self.groups.bin_of(kev) else {
            return;
        };
        let edges = self.groups.edges_kev();
        let (Some(low), Some(high)) = (edges.get(group), edges.get(group + 1)) else {
            return;
        };
        let pairs = grid.edges_kev().iter().zip(grid.edges_kev().iter().skip(1));
        for ((from, to), bin) in pairs.zip(continuum.iter_mut()) {
            let common = (to.min(*high) - from.max(*low)).max(0.0);
            *bin += counts * common / (high - low);
        }
    }

    /// Photons that have scattered on their way through a layer and still go forward, by group. Straight ahead: a photon
    /// that turns by more than a right angle is lost, one that does not keeps to the normal of the layer.
    fn through(&self, lines: &[(f64, f64)], material: Material, depth: f64) -> Vec<f64> {
        let slice = depth / f64::from(SLICES);
        let mut direct = vec![0.0; self.groups.bins()];
        for (kev, photons) in lines {
            if let Some(group) = self.groups.bin_of(*kev).and_then(|group| direct.get_mut(group)) {
                *group += photons;
            }
        }
        let mut scattered = vec![0.0; self.groups.bins()];
        for _ in 0..SLICES {
            let mut gained = vec![0.0; self.groups.bins()];
            let groups = self.middles.iter().zip(direct.iter_mut().zip(scattered.iter_mut()));
            for ((kev, (direct, scattered)), kernel) in groups.zip(&self.forward) {
                let passing = libm::exp(-material.total(*kev) * slice);
                let hits = (*direct + *scattered) * (1.0 - passing);
                let share = hits * material.scattering(*kev) / material.total(*kev);
                for (to, probability) in gained.iter_mut().zip(kernel) {
                    *to += share * probability;
                }
                *direct *= passing;
                *scattered *= passing;
            }
            for (group, gained) in scattered.iter_mut().zip(&gained) {
                *group += gained;
            }
        }
        scattered
    }

    /// Photons of bremsstrahlung per decay in the group at `kev`. Of a beta's mean energy, a third of the endpoint, the
    /// share 3.5e-4 Z E (in MeV) becomes photons (Cember, Introduction to Health Physics, ch. 5); their number falls like
    /// (1 - k/E)² / k, thick-target bremsstrahlung averaged over a beta spectrum.
    fn bremsstrahlung(&self, beta: Beta, kev: f64) -> f64 {
        let end = beta.endpoint_kev;
        if kev >= end {
            return 0.0;
        }
        let radiated = 3.5e-4 * beta.stopper * end / 1_000.0 * end / 3.0;
        let left = 1.0 - kev / end;
        // The integral of (1 - k/E)² over k is E/3.
        let per_kev = radiated * 3.0 / end * left * left / kev;
        let edges = self.groups.edges_kev();
        let group = self.groups.bin_of(kev).unwrap_or(0);
        let width = match (edges.get(group), edges.get(group + 1)) {
            (Some(low), Some(high)) => high - low,
            _ => 0.0,
        };
        per_kev * width
    }
}

/// A shape whose bins add up to 1; none if there is nothing in it.
fn normalised(mut shape: Vec<f64>) -> Option<Vec<f64>> {
    let sum: f64 = shape.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        return None;
    }
    for bin in &mut shape {
        *bin /= sum;
    }
    Some(shape)
}

/// The bins outside of which a shape is zero.
fn support(shape: &[f64]) -> Range<usize> {
    let first = shape.iter().position(|share| *share > 0.0).unwrap_or(0);
    let end = shape.iter().rposition(|share| *share > 0.0).map_or(0, |last| last + 1);
    first..end.max(first)
}
