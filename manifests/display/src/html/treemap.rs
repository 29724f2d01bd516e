//! Rectangles whose areas are as amounts, as near to squares as they come ("squarified treemaps", Bruls, Huizing and van
//! Wijk, 2000).

/// A rectangle; its upper left corner and its extent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rectangle {
    fn shorter(self) -> f64 {
        self.width.min(self.height)
    }
}

/// Divides `area` by `amounts`, in their order; best if that is descending. What amounts to nothing gets no area.
pub(super) fn squarify(amounts: &[f64], area: Rectangle) -> Vec<Rectangle> {
    let total: f64 = amounts.iter().sum();
    if total <= 0.0 {
        return vec![Rectangle { width: 0.0, height: 0.0, ..area }; amounts.len()];
    }
    let scale = area.width * area.height / total;
    let areas: Vec<f64> = amounts.iter().map(|amount| amount * scale).collect();
    let mut rectangles = Vec::with_capacity(areas.len());
    let (mut rest, mut begin) = (area, 0);
    while begin < areas.len() {
        let end = end_of_row(&areas, begin, rest.shorter());
        rest = lay_row(&areas[begin..end], rest, &mut rectangles);
        begin = end;
    }
    rectangles
}

/// A row grows along the shorter side for as long as its worst rectangle gets no worse.
fn end_of_row(areas: &[f64], begin: usize, side: f64) -> usize {
    let (mut sum, mut least, mut most) = (areas[begin], areas[begin], areas[begin]);
    let worst = |sum: f64, least: f64, most: f64| {
        let square = side * side;
        (square * most / (sum * sum)).max(sum * sum / (square * least))
    };
    for (at, &area) in areas.iter().enumerate().skip(begin + 1) {
        let longer = (sum + area, least.min(area), most.max(area));
        if worst(longer.0, longer.1, longer.2) > worst(sum, least, most) {
            return at;
        }
        (sum, least, most) = longer;
    }
    areas.len()
}

/// Lays a row along the shorter side of `rest`; gives what is left of that.
fn lay_row(row: &[f64], rest: Rectangle, rectangles: &mut Vec<Rectangle>) -> Rectangle {
    let is_column = rest.width >= rest.height;
    let sum: f64 = row.iter().sum();
    let depth = if rest.shorter() > 0.0 { sum / rest.shorter() } else { 0.0 };
    let mut along = 0.0;
    for area in row {
        let length = if depth > 0.0 { area / depth } else { 0.0 };
        rectangles.push(if is_column {
            Rectangle { x: rest.x, y: rest.y + along, width: depth, height: length }
        } else {
            Rectangle { x: rest.x + along, y: rest.y, width: length, height: depth }
        });
        along += length;
    }
    if is_column {
        Rectangle { x: rest.x + depth, width: (rest.width - depth).max(0.0), ..rest }
    } else {
        Rectangle { y: rest.y + depth, height: (rest.height - depth).max(0.0), ..rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rectangle = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    fn inside(inner: Rectangle, outer: Rectangle) -> bool {
        const SLACK: f64 = 1e-6;
        inner.x >= outer.x - SLACK
            && inner.y >= outer.y - SLACK
            && inner.x + inner.width <= outer.x + outer.width + SLACK
            && inner.y + inner.height <= outer.y + outer.height + SLACK
    }

    fn overlap(one: Rectangle, other: Rectangle) -> f64 {
        let width = (one.x + one.width).min(other.x + other.width) - one.x.max(other.x);
        let height = (one.y + one.height).min(other.y + other.height) - one.y.max(other.y);
        width.max(0.0) * height.max(0.0)
    }

    #[test]
    fn the_example_of_the_paper() {
        let rectangles = squarify(
            &[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0],
            Rectangle { x: 0.0, y: 0.0, width: 6.0, height: 4.0 },
        );
        assert_eq!(rectangles[0], Rectangle { x: 0.0, y: 0.0, width: 3.0, height: 2.0 });
        assert_eq!(rectangles[1], Rectangle { x: 0.0, y: 2.0, width: 3.0, height: 2.0 });
        assert!((rectangles[2].width - 12.0 / 7.0).abs() < 1e-9 && (rectangles[2].x - 3.0).abs() < 1e-9);
    }

    #[test]
    fn areas_are_as_amounts_inside_the_picture_and_apart() {
        for seed in 1..40_u32 {
            let mut amounts: Vec<f64> =
                (0..seed * 3).map(|n| f64::from(n * n * 7919 % (seed * 1000 + 1))).collect();
            amounts.sort_by(|one, other| other.total_cmp(one));
            let total: f64 = amounts.iter().sum();
            if total == 0.0 {
                continue;
            }
            let rectangles = squarify(&amounts, AREA);
            assert_eq!(rectangles.len(), amounts.len());
            for (at, rectangle) in rectangles.iter().enumerate() {
                let share = rectangle.width * rectangle.height / (AREA.width * AREA.height);
                assert!((share - amounts[at] / total).abs() < 1e-9, "{seed} {at}: {share}");
                assert!(inside(*rectangle, AREA), "{seed} {at}: {rectangle:?}");
                assert!(rectangles[..at].iter().all(|other| overlap(*rectangle, *other) < 1e-4));
            }
        }
    }

    #[test]
    fn nothing_takes_no_room() {
        assert!(squarify(&[], AREA).is_empty());
        for rectangle in squarify(&[0.0, 0.0], AREA) {
            assert!(rectangle.width * rectangle.height == 0.0 && inside(rectangle, AREA));
        }
        for rectangle in squarify(&[5.0, 0.0, 0.0], AREA) {
            assert!(rectangle.width.is_finite() && rectangle.height.is_finite() && inside(rectangle, AREA));
        }
    }
}
