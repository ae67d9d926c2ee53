// Stands in for an optional package of a dependency.
module.exports = null;
