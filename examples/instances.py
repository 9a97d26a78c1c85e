"""Objects live on the server; what is held here is a handle that behaves like the object."""

import wsremote

with wsremote.connect() as session:
    garden = session.modules.garden
    bed_module = garden.beds.bed

    # Functions, with defaults, keywords and errors.
    print(garden.describe("Kew", owner="the Crown"))
    try:
        garden.describe("Kew", season="monsoon")
    except ValueError as error:
        print("ValueError:", error)

    # Instances: state, properties, class attributes, class and static methods, inheritance.
    bean = garden.Vegetable("bean", age=50)
    bean.grow(5, water="rain")
    print(bean, bean.height, garden.Vegetable.ripe_at)
    try:
        bean.harvest()
    except garden.NotRipe as error:
        print("NotRipe:", error, "-", error.days)
    bean.age = 90
    print(bean.harvest(), "and", bean)
    oak = garden.Plant.seedling("oak")
    print(garden.Plant.compare(bean, oak), isinstance(bean, garden.Plant), oak == bean)

    # A container of one's own, a context manager, and a module variable that methods change.
    before = bed_module.planted
    bed = garden.Bed("south", bean, oak)
    with bed as watered:
        print(len(watered), "oak" in bed, [plant.name for plant in bed], bed[0] is bean)
    print(bed.tallest(), bed_module.planted - before)

    # A list of ours, changed by the call as it would be here.
    plants = [oak, bean]
    bed_module.sort_by_age(plants, oldest_first=False)
    print([plant.name for plant in plants])
