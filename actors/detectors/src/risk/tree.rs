//! Decision trees with a value at every node, so that each split's share of the result is an integer.

use super::feature::Feature;

/// No node may be worth more than this, in milli-decibans, above or below the root of its tree.
pub const NODE_LIMIT: u32 = 100_000;

/// A question: values up to the threshold go left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Position of the feature in the model.
    pub feature: u16,
    /// The greatest value that goes left.
    pub threshold: i32,
    /// Position of the left child in the tree; greater than that of its parent.
    pub left: u16,
    /// Position of the right child in the tree; greater than that of its parent.
    pub right: u16,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What an item that gets here is worth, in milli-decibans; 0 at the root.
    pub value: i32,
    /// Where it goes on; nothing at a leaf.
    pub split: Option<Split>,
}

/// A tree; the root comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The nodes, each parent before its children.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Walks down and adds to the share of each split's feature what the step is worth: the child's value minus the
    /// parent's. The shares telescope to the value of the leaf, which is returned.
    pub(super) fn walk(&self, values: &[i32], shares: &mut [i32]) -> i32 {
        let mut here = self.nodes.first();
        let mut value = 0;
        while let Some(node) = here {
            let Some(split) = node.split else { break };
            let at = usize::from(split.feature);
            let left = values.get(at).is_some_and(|value| *value <= split.threshold);
            let next = self.nodes.get(usize::from(if left { split.left } else { split.right }));
            if let (Some(next), Some(share)) = (next, shares.get_mut(at)) {
                *share += next.value - value;
                value = next.value;
            }
            here = next;
        }
        value
    }

    /// Refuses what is not a tree, and else returns the greatest sum of steps, each without its sign, on any way down.
    pub(super) fn check(&self, features: &[Feature]) -> Result<i64, String> {
        let count = self.nodes.len();
        match self.nodes.first() {
            None => return Err("a tree has no nodes".to_owned()),
            Some(root) if root.value != 0 => return Err("the root of a tree is not worth 0".to_owned()),
            Some(_) => {}
        }
        // The sum of steps to each node; filled in from above, since children come later.
        let mut steps: Vec<Option<i64>> = vec![None; count];
        if let Some(root) = steps.first_mut() {
            *root = Some(0);
        }
        let mut most = 0;
        for (at, node) in self.nodes.iter().enumerate() {
            if node.value.unsigned_abs() > NODE_LIMIT {
                return Err(format!("node {at} is worth more than {NODE_LIMIT} milli-decibans"));
            }
            let Some(so_far) = steps.get(at).copied().flatten() else {
                return Err(format!("no split leads to node {at}"));
            };
            most = most.max(so_far);
            let Some(split) = node.split else { continue };
            if usize::from(split.feature) >= features.len() {
                return Err(format!(
                    "node {at} asks for feature {}, which is not there",
                    split.feature
                ));
            }
            for child in [split.left, split.right] {
                let child = usize::from(child);
                let (Some(below), Some(step)) = (self.nodes.get(child), steps.get_mut(child)) else {
                    return Err(format!("node {at} leads to node {child}, which is not there"));
                };
                if child <= at || step.is_some() {
                    return Err(format!("node {at} leads back to node {child}"));
                }
                *step = Some(so_far + (i64::from(below.value) - i64::from(node.value)).abs());
            }
        }
        Ok(most)
    }
}
