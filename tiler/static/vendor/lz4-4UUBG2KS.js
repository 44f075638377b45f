import{a,b}from"./chunk-GX57IFR6.js";export{a as default,b as unlz4};
